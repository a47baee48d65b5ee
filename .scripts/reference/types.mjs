// The public names of the package with their declarations, as the compiler wrote them. TypeScript 7 has no API for
// programs, which generators of references need; but declarations are regular enough to be read line by line.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

export function typesReference(entries) {
  const known = new Map()
  const sections = Object.entries(entries).map(([entry, path]) => {
    const found = [...exportsOf(path)].toSorted(([a], [b]) => a.localeCompare(b))
    const isShown = ([name, text]) => known.get(name) === text
    const shared = found.filter(isShown).map(([name]) => `\`${name}\``)
    const own = found.filter((one) => !isShown(one))
    for (const [name, text] of own) known.set(name, text)
    return [
      `## ${entry}`,
      shared.length > 0 && `As above: ${shared.join(', ')}.`,
      ...own.map(([name, text]) => `### ${name}\n\n\`\`\`typescript\n${text}\n\`\`\``),
    ].filter(Boolean)
  })
  return [
    '# TypeScript reference',
    'Written by `npm run docs:reference` from the types of the package. Views of runs, jobs and tasks have their members in the [HTTP reference](http.md#schemas).',
    ...sections.flat(),
    '',
  ].join('\n\n')
}

/** Each exported name with its declaration, through `export … from`. */
function exportsOf(path) {
  const found = new Map()
  for (const statement of statementsOf(path)) {
    const from = /^export (?<type>type )?(?:\{(?<names>[^}]*)\}|\*) from '(?<file>[^']+)'/.exec(statement.code)?.groups
    if (from !== undefined) {
      const others = exportsOf(join(dirname(path), from.file.replace(/\.ts$/, '.d.ts')))
      const wanted = from.names?.split(',').map((name) => name.trim().replace(/^type /, '')) ?? [...others.keys()]
      const isValue = (name) => /^export declare (?:function|const)/m.test(others.get(name) ?? '')
      for (const name of wanted)
        if (name !== '' && !(from.type && isValue(name))) found.set(name, others.get(name) ?? name)
      continue
    }
    const name = /^export (?:declare )?(?:const|function|class|interface|type|abstract class) (?<name>\w+)/.exec(
      statement.code,
    )?.groups?.name
    if (name === undefined) continue
    const text = `${statement.comment}${statement.code}`.trim()
    // Overloads share one name.
    found.set(name, found.has(name) ? `${found.get(name)}\n${text}` : text)
  }
  return found
}

/** A statement starts at the left edge and ends before the next one; a comment at the edge belongs to the next statement. */
function statementsOf(path) {
  const statements = []
  let comment = ''
  let current
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (current === undefined && /^(?:\/\*\*| \*)/.test(line)) comment += `${line}\n`
    else if (/^\S/.test(line) && !/^[})\]]/.test(line)) {
      if (/^(?:\/\*\*| \*)/.test(line)) comment = `${line}\n`
      current = line.startsWith('/**') ? undefined : { comment, code: line }
      if (current !== undefined) {
        statements.push(current)
        comment = ''
      }
    } else if (line.startsWith(' *') && comment !== '') comment += `${line}\n`
    else if (current !== undefined) current.code += `\n${line}`
  }
  return statements
}
