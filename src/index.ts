export { defineTask } from './domain/task.ts'
