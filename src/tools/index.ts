/** Tools on the shared volume: one download for any number of consumers. */
export { findTool, type Tool } from './find.ts'
export { verifyTool } from './verify.ts'
export { installTool, type InstallOptions, type Installed } from './install.ts'
export { installLocally } from './local.ts'
export { ToolMarker, type ToolFile } from './format.ts'
export {
  titleOf,
  toolLock,
  toolName,
  toolPaths,
  toolPlatform,
  toolVersion,
  type ToolName,
  type ToolPaths,
} from './layout.ts'
