/** The layers of the architecture: which folder may import which, and no cycles. */
import { importsOf, targetsOf, within, type Rule } from './sources.ts'

/** From top to bottom; folders on one line never import each other. */
const layers = [
  ['main.ts', 'index.ts', 'cli.ts'],
  ['cli', 'testing'],
  ['library'],
  ['process'],
  ['app.ts', 'client', 'database-file.ts'],
  ['service.ts'],
  ['http'],
  ['metrics'],
  ['schedules'],
  ['intake'],
  ['dispatch', 'feed', 'webhooks'],
  ['config.ts', 'store', 'execution'],
  ['tasks', 'limits', 'telemetry'],
  ['runtime'],
  ['domain', 'log.ts'],
]
/** Only these files name a storage engine: the one that opens it, and the one that copies its file. */
const namesEngines = new Set(['app.ts', 'database-file.ts'])
/** What an engine may import. */
const knownToEngines = new Set(['store', 'runtime', 'domain', 'log.ts'])

export const importsPointDownward: Rule = (sources) =>
  within('src', sources).flatMap(([path, source]) =>
    targetsOf(path, source)
      .filter((target) => !isAllowed(path, target))
      .map((target) => `${path} must not import ${target}`),
  )

function isAllowed(path: string, target: string): boolean {
  if (!target.startsWith('src/')) return false
  const [from, to] = [unitOf(path), unitOf(target)]
  if (from === to) return depthOf(from) !== -1 || isEngine(from)
  if (isEngine(to)) return namesEngines.has(from)
  if (isEngine(from)) return knownToEngines.has(to)
  return depthOf(from) !== -1 && depthOf(from) < depthOf(to)
}

/** The unit of a file: the file itself at the top of `src`, `store/NAME` for an engine, otherwise its folder. */
function unitOf(path: string): string {
  const [, first = '', second = '', third] = path.split('/')
  return first === 'store' && third !== undefined ? `${first}/${second}` : first
}

function depthOf(unit: string): number {
  return layers.findIndex((line) => line.includes(unit))
}

function isEngine(unit: string): boolean {
  return unit.startsWith('store/')
}

export const importsHaveNoCycles: Rule = (sources) => {
  const graph = new Map(within('src', sources).map(([path, source]) => [path, targetsOf(path, source)]))
  const finished = new Set<string>()
  function visit(path: string, way: readonly string[]): string[] {
    if (way.includes(path)) return [[...way.slice(way.indexOf(path)), path].join(' → ')]
    if (finished.has(path)) return []
    const cycles = (graph.get(path) ?? []).flatMap((target) => visit(target, [...way, path]))
    finished.add(path)
    return cycles
  }
  return [...graph.keys()].flatMap((path) => visit(path, []))
}

/** A relative import contains the whole file name, and no file in `src` imports the package by its own name. */
export const importsNameTheirFile: Rule = (sources) =>
  Object.entries(sources).flatMap(([path, source]) =>
    importsOf(source)
      .filter((name) => (name.startsWith('.') && !/\.[jt]sx?$/.test(name)) || (name === 'forerunner' && isInSrc(path)))
      .map((name) => `${path} must not import '${name}'`),
  )

function isInSrc(path: string): boolean {
  return path.startsWith('src/')
}
