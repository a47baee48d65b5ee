/** Finds a Python that can run the FastAPI contender. */
import { spawnSync } from 'node:child_process'

export interface Python {
  readonly program: string
  readonly version: string
}

/** The system's Python may have packages that a newer one before it on the path lacks. */
const programs = ['python3', '/usr/bin/python3']
const question = `
import fastapi, platform, uvicorn
print(f"Python {platform.python_version()}, FastAPI {fastapi.__version__}, uvicorn {uvicorn.__version__}")`

/** @returns null if no Python has FastAPI and uvicorn */
export function findPython(): Python | null {
  for (const program of programs) {
    const { status, stdout } = spawnSync(program, ['-c', question], { encoding: 'utf8' })
    if (status === 0) return { program, version: stdout.trim() }
  }
  return null
}
