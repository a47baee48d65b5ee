/** The background tasks of the hand-written apps, equivalent to those in ../tasks. */
const tasks = {
  second: () => 'Second result',
  third: () => 'Third result',
  burn({ cpuMs }) {
    const before = process.threadCpuUsage()
    for (;;) {
      const { user, system } = process.threadCpuUsage(before)
      if (user + system >= cpuMs * 1_000) return null
    }
  },
  size: (input) => Object.keys(input).length,
}

/** @returns the result of the task @throws if no task has that name */
export default function run({ name, input }) {
  const task = tasks[name.replace(/-cpu$/, '')]
  if (task === undefined) throw new Error(`no task is named ${name}`)
  return task(input)
}
