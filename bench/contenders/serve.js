/** Listens on a free port, and sends its address to the parent. */
export function serve(app) {
  const server = app.listen(0, '127.0.0.1', () => {
    process.stdout.write(`${JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })}\n`)
  })
}

/** GET /stats of an app that counts its jobs itself. */
export function statsOf({ accepted, finished, failed = 0 }) {
  const live = accepted - finished
  return { jobs: { failed }, backlog: live, conservation: { accepted, final: finished, live, lost: 0 } }
}
