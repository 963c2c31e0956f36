/** A time in ms as people read it: `26.5 h`. */
export const hours = (ms: number): string => `${(ms / 3.6e6).toFixed(1)} h`
