/** An error about the input: it sets the status 422 and a code, and is final, because another attempt would not help. */
export function refusal(code: string, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code, status: 422, retryable: false })
}
