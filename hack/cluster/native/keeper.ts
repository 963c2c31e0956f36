import type { ProcessRecord } from './processes.ts'
import { writeState, type ClusterState, type NodeRecord } from './state.ts'

/** Writes down what is made before the next thing is made, one write after the other. */
export class StateKeeper {
  readonly state: ClusterState
  private last: Promise<void> = Promise.resolve()

  constructor(state: ClusterState) {
    this.state = state
  }

  async save(changes: Partial<ClusterState> = {}): Promise<void> {
    Object.assign(this.state, changes)
    this.last = this.last.then(() => writeState(this.state))
    await this.last
  }

  async addProcess(record: ProcessRecord): Promise<ProcessRecord> {
    this.state.processes.push(record)
    await this.save()
    return record
  }

  async addNode(record: NodeRecord): Promise<void> {
    this.state.nodes.push(record)
    await this.save()
  }
}
