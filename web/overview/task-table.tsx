/** The tasks of the last minutes: how often they ran, how fast, and how many attempts failed. */
import type { RecentView } from 'forerunner/client'
import { addressOf } from '../shell/route.ts'
import { millisecondsOf, rateOf } from '../time/format.ts'

type Quantiles = RecentView['firstResponseMs']

const minuteMs = 60_000

export function TaskTable({ recent }: { readonly recent: RecentView }) {
  const minutes = recent.windowMs / minuteMs
  return (
    <section class="card scroll" aria-label="Tasks" tabIndex={0}>
      <div class="head">
        <h2>Tasks</h2>
        <small>attempts of the last {minutes} minutes</small>
      </div>
      {recent.tasks.length === 0 ? (
        <p class="empty">No attempt has ended since the service started.</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col">Task</th>
              <th scope="col" class="num">
                Each minute
              </th>
              <th scope="col" class="num">
                Waited p50
              </th>
              <th scope="col" class="num">
                p99
              </th>
              <th scope="col" class="num">
                Ran p50
              </th>
              <th scope="col" class="num">
                p99
              </th>
              <th scope="col" class="num">
                Tried again
              </th>
              <th scope="col" class="num">
                Failed
              </th>
            </tr>
          </thead>
          <tbody>
            {recent.tasks.map(({ name, failed, retried, waitMs, runMs }) => (
              <tr key={name}>
                <th scope="row">
                  <a class="task-link" href={addressOf({ about: name })}>
                    {name}
                  </a>
                </th>
                <td class="num">{rateOf(runMs.count / minutes)}</td>
                <Both quantiles={waitMs} />
                <Both quantiles={runMs} />
                <td class={retried === 0 ? 'num faint' : 'num'}>{retried.toLocaleString('en')}</td>
                <td class={failed === 0 ? 'num faint' : 'num is-failed'}>
                  {failed === 0 ? (
                    0
                  ) : (
                    <a href={addressOf({ task: name, state: 'failed' })}>✕ {failed.toLocaleString('en')}</a>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

function Both({ quantiles: { p50, p99 } }: { readonly quantiles: Quantiles }) {
  return (
    <>
      <td class="num">{p50 === null ? '–' : millisecondsOf(p50)}</td>
      <td class="num dim">{p99 === null ? '–' : millisecondsOf(p99)}</td>
    </>
  )
}
