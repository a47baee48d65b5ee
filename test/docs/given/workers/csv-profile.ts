import { defineTask } from 'forerunner'
import { z } from 'zod'

export default defineTask({
  input: z.object({ csv: z.string() }),
  run: ({ csv }) => ({ columns: csv.split('\n', 1) }),
})
