/** Where several give one path other content: an error, or which of them in the order they were given wins. */
export const CONFLICTS = ['fail', 'first', 'last'] as const
export type Conflicts = (typeof CONFLICTS)[number]
