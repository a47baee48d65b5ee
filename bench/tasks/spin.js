/** Keeps its thread busy for so many milliseconds without letting that thread's event loop turn. */
export default {
  kind: 'cpu',
  run({ ms }) {
    const until = performance.now() + ms
    let rounds = 0
    while (performance.now() < until) rounds += 1
    return rounds > 0
  },
}
