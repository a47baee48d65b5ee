/** Milliseconds that this thread has worked so far: what a test measures with it does not depend on a busy machine. */
export function workedMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}
