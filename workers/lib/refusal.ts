/** An error about the input: answered with status 422 and its own code, and final, for another attempt would not help. */
export function refusal(code: string, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code, status: 422, retryable: false })
}
