/** Listens where nobody else does, and tells its parent where. */
export function serve(app) {
  const server = app.listen(0, '127.0.0.1', () => {
    process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })}\n`)
  })
}

/** What GET /stats tells of an app that counts its jobs itself. */
export function statsOf({ accepted, finished, failed = 0 }) {
  const live = accepted - finished
  return { jobs: { failed }, backlog: live, conservation: { accepted, final: finished, live, lost: 0 } }
}
