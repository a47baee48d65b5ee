/** JSON that the caller of the command has in a file, or gives on standard input. */
import { readFile } from 'node:fs/promises'
import { UsageError } from './exit-code.ts'
import { readInput } from './terminal.ts'

/** @param file `-` for standard input */
export async function readJson(file: string): Promise<unknown> {
  const text = await read(file)
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new UsageError(`the input is no JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
}

async function read(file: string): Promise<string> {
  if (file === '-') return readInput()
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new UsageError(`the input cannot be read: ${error instanceof Error ? error.message : String(error)}`)
  }
}
