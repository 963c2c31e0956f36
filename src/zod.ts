/**
 * zod in its small form: the same checks as functions instead of methods. What is not used is not bundled and not
 * built at the start, which takes a quarter off the time in which a step starts.
 */
import { config } from 'zod/mini'
import en from 'zod/v4/locales/en.js'

config(en())

export * from 'zod/mini'
