/** Keeps a core busy for so many milliseconds of its thread's CPU time, without letting the thread's event loop turn. */
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
