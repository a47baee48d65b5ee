/** Lines of the log as people read them; what a task prints stays as it is. */
import { clean, styled } from './terminal.ts'

const styles = { warn: 'yellow', error: 'red', fatal: 'red' } as const

export function readableLine(line: string): string {
  const entry = parse(line)
  if (entry === null) return line
  const { level, time, msg, ...fields } = entry
  const clock = new Date(String(time)).toTimeString().slice(0, 8)
  const isLoud = level === 'warn' || level === 'error' || level === 'fatal'
  const text = isLoud ? styled(styles[level], `${level}: ${clean(String(msg))}`) : clean(String(msg))
  const shown = Object.entries(fields).filter(([, value]) => !Array.isArray(value) || value.length > 0)
  const rest = shown.map(([name, value]) => `${name}=${clean(textOf(value))}`)
  return `${styled('dim', clock)}  ${text}${rest.length === 0 ? '' : styled('dim', `  ${rest.join(' ')}`)}`
}

function parse(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line)
    const isEntry = typeof value === 'object' && value !== null && 'level' in value && 'time' in value && 'msg' in value
    return isEntry ? { ...value } : null
  } catch {
    return null
  }
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(',')
  if (typeof value !== 'object' || value === null) return String(value)
  // Of an error, what its stack begins with.
  return 'message' in value ? String(value.message) : JSON.stringify(value)
}
