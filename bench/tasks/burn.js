/** Uses the given milliseconds of CPU time, without letting the thread's event loop turn. */
export default {
  kind: 'cpu',
  run({ cpuMs }) {
    const before = process.threadCpuUsage()
    for (;;) {
      const { user, system } = process.threadCpuUsage(before)
      if (user + system >= cpuMs * 1_000) return null
    }
  },
}
