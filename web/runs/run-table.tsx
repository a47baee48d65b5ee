/** A table of runs. */
import type { RunView } from 'forerunner/client'
import { RunRow } from './run-row.tsx'

export function RunTable({ runs }: { readonly runs: readonly RunView[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">State</th>
          <th scope="col">Tasks</th>
          <th scope="col">Timeline</th>
          <th scope="col" class="num">
            Answered
          </th>
          <th scope="col" class="num">
            Finished
          </th>
          <th scope="col">Tags</th>
          <th scope="col" class="num">
            Age
          </th>
          <th scope="col">Id</th>
        </tr>
      </thead>
      <tbody>
        {runs.map((run) => (
          <RunRow key={run.id} run={run} />
        ))}
      </tbody>
    </table>
  )
}
