/** The names of what the maintenance bundle makes in a namespace. */
export const CLAIM = 'shared-workspace-storage'
export const SERVICE_ACCOUNT = 'shared-workspace'
export const MAINTENANCE = 'shared-workspace-maintenance'
