"""The recipe as it is known: the first coroutine is awaited, two more are started and forgotten.

pip install fastapi uvicorn && uvicorn recipe:app --port 8000
"""

import asyncio

from fastapi import FastAPI

app = FastAPI()
# The event loop holds tasks weakly: without this set one could vanish before its end.
background = set()


async def first():
    await asyncio.sleep(1)
    return "First result"


async def second():
    await asyncio.sleep(5)
    return "Second result"


async def third():
    await asyncio.sleep(3)
    return "Third result"


@app.post("/run-tasks")
async def run_tasks():
    for task in (second, third):
        started = asyncio.create_task(task())
        background.add(started)
        started.add_done_callback(background.discard)
    return {"result": await first()}
