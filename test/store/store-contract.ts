/** The whole Store contract as tests, for any engine. Each test opens a store of its own. */
import { test } from 'uvu'
import { acceptContract } from './contract/accept.ts'
import { afterContract } from './contract/after.ts'
import { answerContract } from './contract/answer.ts'
import { cancelContract } from './contract/cancel.ts'
import { changeContract } from './contract/change.ts'
import { claimContract } from './contract/claim.ts'
import { claimOrderContract } from './contract/claim-order.ts'
import { closeContract } from './contract/close.ts'
import { conservationContract } from './contract/conservation.ts'
import { deliveriesContract } from './contract/deliveries.ts'
import { expiryContract } from './contract/expiry.ts'
import { fenceContract } from './contract/fence.ts'
import { firstFailureContract } from './contract/first-failure.ts'
import { idempotencyContract } from './contract/idempotency.ts'
import { leaveContract } from './contract/leave.ts'
import { payloadContract } from './contract/payload.ts'
import { pauseContract } from './contract/pause.ts'
import { pruneContract } from './contract/prune.ts'
import { rateContract } from './contract/rate.ts'
import { readContract } from './contract/read.ts'
import { removeContract } from './contract/remove.ts'
import { retryContract } from './contract/retry.ts'
import { rescueContract } from './contract/rescue.ts'
import { minutesContract } from './contract/minutes.ts'
import { linesContract } from './contract/lines.ts'
import { stepsContract } from './contract/steps.ts'
import { scheduleContract } from './contract/schedule.ts'
import { settleContract } from './contract/settle.ts'
import { suspectContract } from './contract/suspect.ts'
import { unknownTaskContract } from './contract/unknown-task.ts'
import type { Register, StoreUnderTest } from './contract/subject.ts'

/** Registers the contract's tests; the test file that calls it ends with `test.run()`. */
export function storeContract(name: string, open: () => Promise<StoreUnderTest>): void {
  const register: Register = (what, body) =>
    test(`${name}: ${what}`, async () => {
      await using subject = await open()
      await body(subject)
    })

  acceptContract(register)
  payloadContract(register)
  answerContract(register)
  afterContract(register)
  claimContract(register)
  claimOrderContract(register)
  settleContract(register)
  stepsContract(register)
  linesContract(register)
  minutesContract(register)
  fenceContract(register)
  cancelContract(register)
  retryContract(register)
  expiryContract(register)
  deliveriesContract(register)
  firstFailureContract(register)
  idempotencyContract(register)
  removeContract(register)
  changeContract(register)
  pruneContract(register)
  pauseContract(register)
  conservationContract(register)
  rateContract(register)
  readContract(register)
  closeContract(register)
  rescueContract(register)
  leaveContract(register)
  suspectContract(register)
  unknownTaskContract(register)
  scheduleContract(register)
}
