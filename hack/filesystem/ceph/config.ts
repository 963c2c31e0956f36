import { join } from 'node:path'
import { runFolder } from '../state.ts'

export interface CephOptions {
  /** Whether the clients cache pages as ceph-fuse does by itself; then files held open on both are incoherent. */
  pageCache: boolean
  /** Whether the metadata server ticks every 5 s, as it does by itself. */
  stockTick: boolean
}

export const CONFIG = join(runFolder('ceph'), 'ceph.conf')
export const MONITOR = 'v2:127.0.0.1:16789'

/** The configuration of every daemon and client: on loopback, for one copy of everything, and without passwords. */
export function cephConfig(id: string, data: string, { pageCache, stockTick }: CephOptions): string {
  return `[global]
fsid = ${id}
mon_host = [${MONITOR}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = ${runFolder('ceph')}
admin_socket = ${runFolder('ceph')}/$name.asok
log_file = ${data}/$name.log
crash_dir = ${data}
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
# For a quick start: changes of the maps are agreed on at once.
paxos_propose_interval = 0.1
paxos_min_wait = 0.01

[mon]
mon_data = ${data}/$name

[osd]
osd_data = ${data}/$name
bluestore_block_size = ${40 * 2 ** 30}
osd_memory_target = ${2 ** 30}

[mds]
mds_data = ${data}/$name
${stockTick ? '' : 'mds_tick_interval = 0.2\n'}
[client]
fuse_disable_pagecache = ${!pageCache}
`
}
