// SPDX-License-Identifier: GPL-2.0-only
// Files, children, worker threads, compiled code, and a server.
const fs = require('fs'), http = require('http'), path = require('path'), child = require('child_process');
const { Worker } = require('worker_threads');
const { R, W } = process.env, hello = path.join(R, 'hello.txt');

const worker = `
const { parentPort, workerData } = require('worker_threads');
const text = require('fs').readFileSync(workerData.hello, 'utf8');
let sum = 0; for (let i = 0; i < 2e5; i++) sum = (sum * 31 + text.charCodeAt(i % text.length)) % 1000003;
parentPort.postMessage(sum);`;

function hot(n) { let a = 0; for (let i = 0; i < n; i++) a = (a + i * i) % 65521; return a; }

async function main() {
  console.log(fs.readFileSync(hello, 'utf8').slice(0, 5));
  console.log((await fs.promises.readFile(hello)).length > 5, fs.readdirSync(R).includes('hello.txt'));
  await Promise.all([...Array(20).keys()].map(i => fs.promises.writeFile(path.join(W, 'n' + i), 'x'.repeat(i))));
  console.log((await Promise.all([...Array(20).keys()].map(i => fs.promises.stat(path.join(W, 'n' + i))))).reduce((a, s) => a + s.size, 0));
  console.log(child.execFileSync('head', ['-c', '5', hello]).toString(), child.spawnSync('sh', ['-c', 'exit 7']).status);
  console.log(await new Promise(done => child.exec('cat "$R/hello.txt" | wc -c', (error, out) => done(out.trim() > 5))));
  console.log(await Promise.all([1, 2, 3].map(() => new Promise((done, fail) => {
    const w = new Worker(worker, { eval: true, workerData: { hello } }); w.on('message', done); w.on('error', fail);
  }))));
  let last = 0; for (let i = 0; i < 200; i++) last = hot(10000 + i);
  console.log(last);
  const server = http.createServer((request, response) => fs.createReadStream(hello).pipe(response));
  await new Promise(done => server.listen(0, '127.0.0.1', done));
  const get = () => new Promise((done, fail) => http.get({ port: server.address().port, host: '127.0.0.1', agent: false }, r => {
    let text = ''; r.on('data', d => text += d).on('end', () => done(text.slice(0, 5)));
  }).on('error', fail));
  console.log(await Promise.all([...Array(20)].map(get)));
  server.close();
  process.exitCode = 9;
}
main();
