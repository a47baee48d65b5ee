/** JSON text as it is, with line breaks: every number keeps its digits, and every member its place. Pure. */

const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g

/** @param text that is JSON */
export function prettyJson(text: string): string {
  let shown = ''
  let depth = 0
  let before = ''
  const line = (): string => `\n${'  '.repeat(depth)}`
  for (const [token] of text.matchAll(tokens)) {
    const opens = before === '{' || before === '['
    if (token === '}' || token === ']') {
      depth -= 1
      shown += opens ? token : line() + token
    } else {
      if (opens || before === ',') shown += line()
      shown += token === ':' ? ': ' : token
      if (token === '{' || token === '[') depth += 1
    }
    before = token
  }
  return shown
}
