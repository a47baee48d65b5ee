/** forerunner serve: the service, in this process. */
import type { AddCommand } from './context.ts'
import { exitCodes } from './exit-code.ts'

export const addServe: AddCommand = (program, act) => {
  program
    .command('serve')
    .description('run the service here, set up by environment variables (DATABASE_URL, TASKS_DIR, PORT, …)')
    .action(
      act(async ({ environment }) => {
        const { serve } = await import('../process/serve.ts')
        // From here on the process ends by itself.
        await serve(environment)
        return exitCodes.done
      }),
    )
}
