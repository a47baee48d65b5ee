/** Runs that can be started with one click. */
import type { Draft } from './request.ts'

export interface Example {
  readonly title: string
  readonly words: string
  readonly draft: Draft
  /** Replaces the `curl` if the request is too large for a command line. */
  readonly curl?: (runTasks: string, key: string) => string
}

const sampleRows = 2_000

/** Generated daily weather of some years, always the same. */
function sampleCsv(): string {
  const rows = Array.from({ length: sampleRows }, (_, day) => {
    const date = new Date(Date.UTC(2021, 0, 1 + day)).toISOString().slice(0, 10)
    const season = Math.sin((2 * Math.PI * (day - 100)) / 365)
    const noise = Math.sin(day * 12.9898) * 43_758.5453
    const chance = noise - Math.floor(noise)
    const high = 12 + 11 * season + 6 * chance
    const rain = chance > 0.7 ? (40 * (chance - 0.7)).toFixed(1) : '0'
    return [date, high.toFixed(1), (high - 4 - 6 * chance).toFixed(1), rain, rain === '0' ? 'dry' : 'rain'].join(',')
  })
  return ['date,high,low,rain,kind', ...rows, ''].join('\n')
}

export const recipe: Example = {
  title: 'The recipe',
  words: 'first answers after one second; second and third go on for five and three in worker threads.',
  draft: {
    tasks: ['first', 'second', 'third'].map((name) => ({ name, input: undefined })),
    respond: 'first',
    tags: [],
  },
}

export function csvExample(): Example {
  const csv = sampleCsv()
  return {
    title: 'A CSV file, peeked at first',
    words: 'The first rows of 2,000 are the answer; a profile of each column and a chart follow.',
    draft: {
      tasks: [
        { name: 'csv-peek', input: { csv, rows: 2 } },
        { name: 'csv-profile', input: { csv } },
        { name: 'csv-chart', input: { csv, column: 'high' } },
      ],
      respond: 'first',
      tags: ['weather'],
    },
    curl: (runTasks, key) =>
      `jq -Rs '{tasks: [{name: "csv-peek", input: {csv: .}}, {name: "csv-profile", input: {csv: .}}]}' weather.csv |
  curl${key} ${runTasks} -H 'Content-Type: application/json' --data-binary @-`,
  }
}
