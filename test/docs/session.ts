/** Runs a block with `curl` line by line, as a reader would, and compares the output with the document. */
import { execFile } from 'node:child_process'
import { root } from './blocks.ts'

export interface Command {
  readonly line: string
  /** The output that the document shows. */
  readonly shown: string
}

/** In `console` blocks each line after `$ `; in `sh` blocks all lines, with the output that the document has elsewhere. */
export function commandsOf(language: string, text: string, answer = ''): Command[] {
  if (language === 'sh') return [{ line: text, shown: answer }]
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      // A command continues while a quote or a backslash is open.
      const lines = part.split('\n')
      let end = 1
      while (isOpen(lines.slice(0, end).join('\n')) && end < lines.length) end += 1
      return { line: lines.slice(0, end).join('\n'), shown: lines.slice(end).join('\n').trim() }
    })
}

const isOpen = (line: string): boolean => line.endsWith('\\') || (line.match(/'/g)?.length ?? 0) % 2 === 1

export async function shell(line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile('bash', ['-euo', 'pipefail', '-c', line], { cwd: root, timeout: 20_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`${line}\n${stdout}${stderr}`, { cause: error }))
    })
  })
}

/** What is missing in the output: the status, names of headers and members, types and codes. */
export function missing(shown: string, printed: string): string[] {
  const [shownHead = ''] = /^HTTP\/1\.1 .*?(?=\n\n|$)/s.exec(shown) ?? []
  const expected = [
    ...shownHead.split('\n').map((line, index) => (index === 0 ? line : (/^[\w-]+:/.exec(line)?.[0] ?? ''))),
    ...(shown.match(/"\w+" ?:/g) ?? []).map((member) => member.replace(' ', '')),
    ...(shown.match(/"(?:type|title|code|detail)": ?"[^"…]*"/g) ?? []).map((member) => member.replace('": ', '":')),
    ...(shown.match(/^(?:event|# (?:HELP|TYPE)) ?.*$/gm) ?? []),
  ]
  return expected.filter((part) => part !== '' && !printed.includes(part))
}
