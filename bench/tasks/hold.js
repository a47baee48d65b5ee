/** Holds its thread for as long as the service lives, and takes nothing of the machine. */
export default {
  kind: 'cpu',
  timeoutMs: 3_600_000,
  run: (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(null))),
}
