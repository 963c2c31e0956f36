import { getCACertificates } from 'node:tls'

/** Options of a TLS agent that trusts the certificates in `ca` (PEM) beside the usual ones; '' for none. */
export const trusting = (ca: string): { ca?: string[] } => (ca ? { ca: [...getCACertificates(), ca] } : {})
