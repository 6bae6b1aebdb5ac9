// Preloaded into the CDK: shortens its sleeps between polls of CloudFormation. Timeouts keep their length.
// The compiled code of its single large file is kept for the next command.
'use strict'

const { enableCompileCache } = require('node:module')
const { join } = require('node:path')

const LONG_MS = 1000
const FACTOR = 20
const setTimeout = globalThis.setTimeout

// A sleep passes the resolve function of a promise, which is native code.
const isSleep = (callback) => /^function \(\) \{ \[native code\] \}$/.test(Function.prototype.toString.call(callback))

globalThis.setTimeout = Object.assign(
  (callback, delay, ...rest) =>
    setTimeout(callback, delay >= LONG_MS && isSleep(callback) ? delay / FACTOR : delay, ...rest),
  setTimeout,
)

if (/\bcdk$/.test(process.argv[1] ?? '')) enableCompileCache?.(join(__dirname, '../../../../.cache/node'))
