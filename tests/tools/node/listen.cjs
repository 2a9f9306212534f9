'use strict'
// node-mavlink as a ground station: it checks every frame that comes, asks for the parameters, and tells as one JSON
// object on stdout what it has seen, when the list is complete.
//
//   NODE_PATH=.venv/node/node_modules node tests/tools/node/listen.cjs udp|tcp HOST PORT [KEY as 64 hexadecimal digits]

const { createHash } = require('node:crypto')
const { createSocket } = require('node:dgram')
const { connect } = require('node:net')
const { PassThrough } = require('node:stream')
const { common, minimal, MavLinkPacketParser, MavLinkPacketSplitter, MavLinkProtocolV2 } = require('node-mavlink')

const SYSTEM = 254
const REGISTRY = { ...minimal.REGISTRY, ...common.REGISTRY }
const [kind, host, port, key] = process.argv.slice(2)
const splitter = new MavLinkPacketSplitter()
const parser = new MavLinkPacketParser()
const input = new PassThrough()
const received = createHash('sha256')
const seen = { frames: 0, bytes: 0, types: {}, versions: {}, signed: 0, verified: 0 }
const parameters = new Map()
let number = 0
let count
let stamp = 0
let timer
let isDone = false

function main() {
  const send = kind === 'udp' ? overUdp() : overTcp()
  input.pipe(splitter).pipe(parser).on('data', take)
  timer = setInterval(() => say(send), 250)
  say(send)
}

// The socket is bound to the loopback: node-mavlink's own listens everywhere.
function overUdp() {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  socket.on('message', arrived)
  return (buffer) => socket.send(buffer, Number(port), host)
}

function overTcp() {
  const socket = connect(Number(port), host)
  socket.on('data', arrived)
  return (buffer) => socket.write(buffer)
}

function arrived(data) {
  received.update(data)
  seen.bytes += data.length
  input.write(data)
}

function say(send) {
  const heartbeat = new minimal.Heartbeat()
  heartbeat.type = minimal.MavType.GCS
  heartbeat.autopilot = minimal.MavAutopilot.INVALID
  write(send, heartbeat)
  if (parameters.size === 0) {
    const request = new common.ParamRequestList()
    request.targetSystem = 1
    request.targetComponent = 1
    write(send, request)
  }
}

function write(send, message) {
  const protocol = new MavLinkProtocolV2(SYSTEM, 190, key ? MavLinkProtocolV2.IFLAG_SIGNED : 0)
  const frame = protocol.serialize(message, number++ & 255)
  stamp = Math.max(Date.now(), stamp + 1) // two frames of one millisecond would count as a replay
  send(key ? protocol.sign(frame, 1, Buffer.from(key, 'hex'), stamp) : frame)
}

function take(packet) {
  if (isDone) return
  const type = REGISTRY[packet.header.msgid]
  const name = type ? type.MSG_NAME : String(packet.header.msgid)
  seen.frames += 1
  seen.types[name] = (seen.types[name] || 0) + 1
  seen.versions[packet.header.magic] = (seen.versions[packet.header.magic] || 0) + 1
  if (packet.signature) {
    seen.signed += 1
    seen.verified += key && packet.signature.matches(Buffer.from(key, 'hex')) ? 1 : 0
  }
  if (name === 'PARAM_VALUE') {
    const value = packet.protocol.data(packet.payload, type)
    parameters.set(value.paramId, value.paramValue)
    count = value.paramCount
  }
  if (parameters.size === count && seen.types.HEARTBEAT) report()
}

function report() {
  isDone = true
  clearInterval(timer)
  const all = { ...seen, invalid: splitter.invalidPackages, sha256: received.digest('hex') }
  process.stdout.write(JSON.stringify({ ...all, parameters: Object.fromEntries(parameters) }) + '\n', () => process.exit(0))
}

main()
