// The eyes of the stories themselves: on a page made for it, each kind of mistake is seen, and a page without any passes.

import http from 'node:http';

import { axe, check, fits, frames, inBrowser, launch } from './lib.mjs';

const SECRET = 'plantedSecret4417';
const page = (body, head = '') => `<!doctype html><html lang="en"><head><title>t</title>${head}</head><body><main><h1>Page</h1>${body}</main></body></html>`;

const PAGES = {
    '/good': page('<p>Good.</p><img alt="" src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="><script src="/quiet.js"></script>'),
    '/console-error': page('<script>console.error("alas")</script>'),
    '/console-warning': page('<script>console.warn("hm")</script>'),
    '/throws': page('<script>throw new Error("broken")</script>'),
    '/foreign': page('<img alt="x" src="http://127.0.0.1:9/x.png">'),
    '/missing': page('<script>fetch("/gone").then(() => (document.title = "done"))</script>'),
    '/cut': page('<script>fetch("/hang-up").catch(() => (document.title = "done"))</script>'),
    '/policy': page('<p style="color: red">x</p>'),
    '/axe': page('<button></button>'),
    '/contrast': page('<p class="pale">Hardly to be read.</p>', '<style>.pale { color: #bbb; background: #fff }</style>'),
    '/dark': page('<p class="pale">Hardly to be read by night.</p>', '<style>@media (prefers-color-scheme: dark) { .pale { color: #333; background: #111 } }</style>'),
    '/wide': page('<pre>' + 'wide '.repeat(200) + '</pre>'),
    '/smooth': page('<script src="/quiet.js"></script>'),
    '/busy': page('<script>addEventListener("click", () => { let x = 1; for (let i = 0; i < 4e7; i++) x = (x * 48271) % 2147483647; document.body.append(x); })</script>'),
    '/secret': page(`<p data-x="${SECRET}">x</p>`),
    '/secret-in-event': page('<script>new EventSource("/events").onmessage = () => document.title = "done"</script>'),
    '/secret-in-header': page('<p>x</p>'),
    '/secret-in-download': page('<a href="/file" download>file</a>'),
    '/quiet.js': '/* nothing */',
};

function answer(request, response) {
    const { pathname } = new URL(request.url, 'http://x');
    if (pathname === '/hang-up') return request.socket.destroy();
    if (pathname === '/events') {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        return response.write(`id: 1\ndata: ${SECRET}\n\n`);
    }
    if (pathname === '/file') {
        response.writeHead(200, { 'content-type': 'text/plain', 'content-disposition': 'attachment; filename="a.txt"' });
        return response.end(SECRET);
    }
    if (pathname === '/favicon.ico') return response.writeHead(204).end();
    if (!(pathname in PAGES)) return response.writeHead(404).end();
    const headers = { 'content-type': pathname.endsWith('.js') ? 'text/javascript' : 'text/html; charset=utf-8' };
    if (pathname === '/policy') headers['content-security-policy'] = "default-src 'none'";
    if (pathname === '/secret-in-header') headers['x-note'] = SECRET;
    return response.writeHead(200, headers).end(PAGES[pathname]);
}

const server = http.createServer(answer);
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
const origin = `http://127.0.0.1:${server.address().port}`;

const browser = await launch();

/** What a visit of one page is told to be wrong with; nothing if it is good. */
async function visit(path, more = () => {}) {
    try {
        await inBrowser(browser, origin, [SECRET], async ({ visitor, watch }) => {
            const one = await visitor();
            await one.page.goto(origin + path, { waitUntil: 'load' });
            await more(one, watch);
        });
        return '';
    } catch (error) {
        return error.message;
    }
}

const done = ({ page }) => page.waitForFunction(() => document.title === 'done');
const smooth = async ({ page }) => {
    const longest = await frames(page);
    await page.click('h1');
    const ms = await longest();
    if (ms > 100) throw new Error(`a frame took ${Math.round(ms)} ms`);
};
const judge = ({ page }) => axe(page, 'here');

const CASES = [
    ['/console-error', /console error: alas/],
    ['/console-warning', /console warning: hm/],
    ['/throws', /uncaught: Error: broken/],
    ['/foreign', /foreign request: http:\/\/127\.0\.0\.1:9\/x\.png/],
    ['/missing', /console error: .*404/, done],
    ['/cut', /failed request: GET .*\/hang-up/, done],
    ['/policy', /content security policy: style-src/],
    ['/axe', /axe finds\s+button-name \(critical\)/, judge],
    ['/contrast', /axe finds\s+color-contrast \(serious\)/, judge],
    ['/dark', /dark, dark, \d+ px: axe finds\s+color-contrast/, one => one.look('dark')],
    ['/wide', /the page is \d+ px wide in a window of 1280 px: .*wide/, ({ page }) => fits(page, 'here')],
    ['/secret', /the planted plantedSecret4417 was sent in .*GET .*\/secret/],
    ['/secret-in-header', /was sent in headers of GET/],
    ['/secret-in-event', /was sent in .*event message 1/, done],
    ['/secret-in-download', /was sent in .*download/, ({ page }) => Promise.all([page.waitForEvent('download'), page.click('a')])],
    ['/busy', /a frame took \d{3,} ms/, smooth],
    ['/smooth', /^$/, smooth],
    ['/good', /^$/, one => one.look('good')],
    ['/console-error', /^$/, (_, watch) => watch.expectProblem(/alas/)],
];

try {
    for (const [path, expected, more] of CASES) {
        const said = await visit(path, more);
        check(expected.test(said), `what is wrong with ${path} is told as ${expected}; it was told as: ${said || 'nothing'}`);
    }
} catch (error) {
    console.error(error.stack);
    process.exitCode = 1;
} finally {
    await browser.close();
    server.closeAllConnections();
    server.close();
}
