/** What `forerunner` alone says where there is no project yet. */
import { existsSync } from 'node:fs'
import { version } from '../domain/version.ts'
import type { Environment } from './context.ts'
import { styled } from './terminal.ts'

const steps = [
  ['npx forerunner init', 'writes a task, its test, scripts and a Dockerfile'],
  ['npm install', ''],
  ['npm start', 'runs the service, at http://127.0.0.1:3000'],
  ['npx forerunner run hello --watch', 'in another terminal'],
] as const

/** @returns null where there is a project, whose reader wants to know the commands */
export function welcome({ TASKS_DIR: tasksDir }: Environment): string | null {
  if (existsSync(tasksDir || 'workers')) return null
  return [
    `${styled('bold', `forerunner ${version}`)}  answers with the first task's result, and runs the rest durably`,
    '',
    'There is no project in this folder yet. To begin:',
    '',
    ...steps.map(([what, why]) => `  ${styled('cyan', what.padEnd(34))}${styled('dim', why)}`.trimEnd()),
    '',
    'All commands: npx forerunner --help',
  ].join('\n')
}
