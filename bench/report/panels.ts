/** The panels of the chart: completed runs of each contender, and its first response without and with other work. */
import { names } from '../contenders/contenders.ts'
import { median } from '../rig/figures.ts'
import type { Figures } from '../scenarios/scenario.ts'
import type { Bar, Panel } from './chart.ts'

/** Omits panels that this run has not measured. */
export function panelsOf(figures: Figures): Panel[] {
  const all = Object.values(names)
  const rates = all.flatMap((name) => bar(figures, name, name, `throughput, 50 connections, ${name}: completed runs/s`))
  const responses = all.flatMap((name) =>
    ['idle', '2×'].flatMap((state) => bar(figures, name, `${name}, ${state}`, `isolation, ${name}, ${state}: p99 ms`)),
  )
  return [
    { title: 'Completed runs per second, 50 connections', bars: rates, digits: 0 },
    { title: 'First response p99 in ms, idle and with background work of 2× the CPU', bars: responses, digits: 1 },
  ].filter(({ bars }) => bars.length > 0)
}

function bar(figures: Figures, name: string, label: string, key: string): Bar[] {
  const values = figures[key] ?? []
  if (values.length === 0) return []
  const range = [Math.min(...values), Math.max(...values)] as const
  return [{ label, value: median(values), range, isSubject: name.startsWith('Forerunner') }]
}
