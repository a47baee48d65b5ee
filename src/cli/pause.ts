/** forerunner pause and resume: whether jobs of a task start. */
import type { TaskView } from '../client/client.ts'
import type { AddCommand, Context } from './context.ts'
import { exitCodes } from './exit-code.ts'
import { print, printJson } from './terminal.ts'

interface Change {
  readonly name: 'pause' | 'resume'
  readonly description: string
  readonly done: string
  set(client: Context['client'], task: string): Promise<TaskView>
}

function add({ name, description, done, set }: Change): AddCommand {
  return (program, act) => {
    program
      .command(name)
      .description(description)
      .argument('<task>', 'its name')
      .action(
        act(async ({ client, isJson }: Context, task: string) => {
          const view = await set(client, task)
          if (isJson) printJson(view)
          else print(`${view.name} ${done}`)
          return exitCodes.done
        }),
      )
  }
}

export const addPause = add({
  name: 'pause',
  description: 'have no job of a task start until it is resumed',
  done: 'is paused: its jobs wait until it is resumed',
  set: (client, task) => client.pauseTask(task),
})

export const addResume = add({
  name: 'resume',
  description: 'let the jobs of a paused task start again',
  done: 'is not paused: its jobs start',
  set: (client, task) => client.resumeTask(task),
})
