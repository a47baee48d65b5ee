import { defineTask } from 'forerunner'
import { z } from 'zod'

export default defineTask({
  name: 'greet',
  input: z.object({ name: z.string() }),
  run: ({ name }) => `Hello, ${name}`,
})
