// Two small tables for the README, from the figures of the last benchmark.

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]

export function figures({ figures: measured, circumstances }) {
  const figure = (name) => median(measured[name])
  const whole = (name) => Math.round(figure(name)).toLocaleString('en')
  const tenths = (name) => figure(name).toLocaleString('en', { maximumFractionDigits: figure(name) < 100 ? 1 : 0 })
  const throughput = (contender, label, kept) => {
    const name = `throughput, 50 connections, ${contender}`
    return `| ${label} | ${kept} | ${whole(`${name}: completed runs/s`)} | ${tenths(`${name}: p50 ms`)} |`
  }
  const isolation = (contender, label) => {
    const name = (load) => `isolation, ${contender}, ${load}: p99 ms`
    return `| ${label} | ${tenths(name('idle'))} | ${tenths(name('1×'))} | ${tenths(name('2×'))} |`
  }
  const day = /\d{4}-\d\d-\d\d/.exec(circumstances.join(' '))?.[0]
  return `Measured on ${day} over 50 connections; each request brings three tasks that do nothing:

| | what survives a crash | completed runs/s | first response p50, ms |
| --- | --- | --- | --- |
${throughput('Forerunner on SQLite', '**Forerunner**, SQLite', 'everything')}
${throughput('Forerunner on PostgreSQL', '**Forerunner**, PostgreSQL', 'everything')}
${throughput('Koa + BullMQ, fsync', 'Koa + BullMQ, Redis with `fsync`', 'jobs, not their results')}
${throughput('Koa + pg-boss', 'Koa + pg-boss', 'jobs, not their results')}
${throughput('Koa + Piscina, volatile', 'Koa + Piscina by hand', 'nothing')}
${throughput('FastAPI, volatile', 'FastAPI, background coroutines', 'nothing')}

First response p99 in ms, while background tasks ask for no CPU (idle), for all cores (1×) or for twice as many (2×):

| | idle | 1× | 2× |
| --- | --- | --- | --- |
${isolation('Forerunner on SQLite', '**Forerunner**, SQLite')}
${isolation('Koa + Piscina, volatile', 'Koa + Piscina by hand')}
${isolation('FastAPI, volatile', 'FastAPI, background coroutines')}

After \`kill -9\` with ${whole('recovery, 100,000 queued: jobs queued')} jobs in the queue the service is ready in ${whole('recovery, 100,000 queued: ready ms')} ms.
`
}
