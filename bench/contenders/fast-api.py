"""The original recipe: one coroutine is awaited, two more are started and forgotten. Nothing of it is written down."""
import asyncio
import json
import socket
import time
import uuid
from datetime import datetime, timezone

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI()
counts = {"accepted": 0, "finished": 0}
# The event loop holds tasks weakly: without this set some could vanish before their end.
running = set()


async def first(_):
    return "First result"


async def second(_):
    await asyncio.sleep(0)
    return "Second result"


async def third(_):
    await asyncio.sleep(0)
    return "Third result"


async def burn(given):
    until = time.thread_time() + given["cpuMs"] / 1000
    while time.thread_time() < until:
        pass


tasks = {"first": first, "second": second, "third": third, "burn": burn}


async def counted(job):
    result = await tasks[job["name"]](job.get("input"))
    counts["finished"] += 1
    return result


def answer_of(jobs, result):
    run_id, now = str(uuid.uuid4()), datetime.now(timezone.utc).isoformat()
    return {
        "id": run_id,
        "state": "running",
        "version": 3,
        "result": result,
        "answer": {"mode": "first", "jobIndex": 0},
        "createdAt": now,
        "respondedAt": now,
        "finishedAt": None,
        "tags": [],
        "jobs": [
            {
                "index": index,
                "task": job["name"],
                "state": "running" if index else "completed",
                "thread": "main",
                "attempt": 1,
                "maxAttempts": 1,
                "queuedAt": now,
                "startedAt": now,
                "finishedAt": None if index else now,
                "runAt": None,
                "progress": None,
                "result": None if index else result,
                "error": None,
                "failures": [],
            }
            for index, job in enumerate(jobs)
        ],
        "links": {"self": f"/runs/{run_id}"},
    }


@app.post("/run-tasks")
async def run_tasks(request: Request):
    jobs = (await request.json())["tasks"]
    counts["accepted"] += len(jobs)
    result = await counted(jobs[0])
    for job in jobs[1:]:
        task = asyncio.create_task(counted(job))
        running.add(task)
        task.add_done_callback(running.discard)
    return answer_of(jobs, result)


@app.get("/stats")
async def stats():
    live = counts["accepted"] - counts["finished"]
    return {
        "backlog": live,
        "conservation": {"accepted": counts["accepted"], "final": counts["finished"], "live": live, "lost": 0},
    }


listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(sockets=[listener])
