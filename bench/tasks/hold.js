/** Occupies its thread as long as the service runs, without using CPU. */
export default {
  kind: 'cpu',
  timeoutMs: 3_600_000,
  run: (_, { signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(null))),
}
