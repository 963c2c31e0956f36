import { describe, expect, it } from 'vitest'
import { readIdentity } from '../src/identity.ts'
import { identityOf } from './support/step.ts'

const matrixed = (pipelineTask: string, run: string, taskRun: string): string =>
  readIdentity({ ...identityOf(run, pipelineTask), TEKTON_PIPELINE_RUN: run, TEKTON_TASK_RUN: taskRun }).task

describe('identity', () => {
  it('is the PipelineRun, else the TaskRun, else the Pod', () => {
    const full = identityOf('r', 't', 'p')
    expect(readIdentity(full)).toMatchObject({
      run: { kind: 'PipelineRun', name: 'r' },
      taskRun: { kind: 'TaskRun' },
      task: 't',
    })
    const alone = { ...full, TEKTON_PIPELINE_RUN: '', TEKTON_PIPELINE_RUN_UID: '', TEKTON_PIPELINE_TASK: '' }
    expect(readIdentity(alone)).toMatchObject({ run: { kind: 'TaskRun', name: 'r-t' }, task: 'r-t' })
    const bare = { POD_NAMESPACE: 'ns', POD_NAME: 'pod', POD_UID: 'p' }
    expect(readIdentity(bare)).toMatchObject({ run: { kind: 'Pod', name: 'pod', uid: 'p' }, task: 'pod' })
  })

  it('needs the downward API', () => {
    expect(() => readIdentity({ POD_NAME: 'x' })).toThrow(expect.objectContaining({ code: 'USAGE' }))
  })

  it.each([
    ['build', 'run', 'run-build', 'build'],
    ['build', 'run', 'run-build-0', 'build.run-build-0'],
    ['a-0', 'run', 'run-a-0', 'a-0'],
    ['a-0', 'run', 'run-a-0-1', 'a-0.run-a-0-1'],
    ['0', 'run', 'run-0', '0'],
    ['0', 'run', 'run-0-0', '0.run-0-0'],
    ['build', 'a-long-name-that-was-cut', 'a-long0123456789abcdef0123456789abcdef-build', 'build'],
    [
      'build',
      'a-long-name-that-was-cut',
      'a-long0123456789abcdef0123456789abcdef-build-2',
      'build.a-long0123456789abcdef0123456789abcdef-build-2',
    ],
  ])('names the outputs of task %s of run %s in TaskRun %s %s', (task, run, taskRun, expected) => {
    expect(matrixed(task, run, taskRun)).toBe(expected)
  })
})
