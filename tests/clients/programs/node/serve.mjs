// The loop of a client's program: a call a line on standard input, its result a line on standard output.
import { createInterface } from 'node:readline'

export async function serve(run) {
  console.log('{}')
  console.warn = console.error
  for await (const line of createInterface({ input: process.stdin })) {
    let result
    try {
      result = await run(JSON.parse(line))
    } catch (error) {
      console.error(error)
      const { message, code, param, requestID, statusCode } = error
      result = { error: message, type: error.constructor.name, code, param, request_id: requestID, status: statusCode }
    }
    console.log(JSON.stringify(result))
  }
}
