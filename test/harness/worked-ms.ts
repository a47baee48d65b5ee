/** CPU milliseconds of this thread so far: a measure that does not depend on how busy the machine is. */
export function workedMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1_000
}
