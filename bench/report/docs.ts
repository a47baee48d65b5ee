/** Publishes a run of the bench: between the markers of docs/benchmarks.md, and in two files next to it. */
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { drawChart, type Panel } from './chart.ts'
import { writeBetweenMarkers } from './markdown.ts'

export interface Report {
  readonly markdown: string
  readonly panels: readonly Panel[]
  readonly json: object
}

const path = (name: string): string => fileURLToPath(new URL(`../../docs/${name}`, import.meta.url))
const picture = '![Completed runs and first responses beside peers](benchmarks.svg)'

export async function writeDocs({ markdown, panels, json }: Report): Promise<void> {
  const page = path('benchmarks.md')
  await writeFile(page, writeBetweenMarkers(await readFile(page, 'utf8'), `${picture}\n\n${markdown}`))
  await writeFile(path('benchmarks.svg'), drawChart(panels))
  await writeFile(path('benchmarks.json'), `${JSON.stringify(json, null, 2)}\n`)
  const { status } = spawnSync('oxfmt', [page, path('benchmarks.json')], { stdio: 'inherit' })
  if (status !== 0) throw new Error('what was written could not be formatted')
}
