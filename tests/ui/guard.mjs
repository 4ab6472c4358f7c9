// Attacks on the page, from a real browser: other sites, other names for this machine, links of before, forms without their token.

import http from 'node:http';

import { check, story, url } from './lib.mjs';

const { origin, port } = new URL(url);

/** Another site of the same machine: browsers send it our cookies, because ports do not make a site. */
async function otherSite(tell) {
    const server = http.createServer((request, response) => {
        response.writeHead(200, { 'content-type': 'text/html' });
        response.end(`<!doctype html><title>another site</title><form method="post" action="${origin}${request.url}"><input name="role" value="owner"></form>`);
    });
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    try {
        await tell(`http://127.0.0.1:${server.address().port}`);
    } finally {
        server.closeAllConnections();
        server.close();
    }
}

/** A request that no browser would let a page send. */
function raw(path, headers, method = 'GET') {
    return new Promise((resolve, reject) => {
        const request = http.request({ host: '127.0.0.1', port, path, method, headers }, answer => {
            answer.resume();
            resolve(answer.statusCode);
        });
        request.on('error', reject);
        request.end();
    });
}

const tell = async ({ visitor, watch }) => {
    const me = await visitor();
    await me.enter(url, '/check');
    const [cookie] = await me.context.cookies();
    check(cookie.httpOnly && cookie.sameSite === 'Strict', `the cookie is strict: ${JSON.stringify(cookie)}`);
    check(!(await me.page.content()).includes(cookie.value) && !me.page.url().includes('token'), 'neither page nor address holds what lets in');

    // The link was for one browser, and nobody else is let in.
    const stranger = await visitor();
    await stranger.page.goto(url);
    await stranger.page.getByText('This link was used already').waitFor();
    await watch.expectProblem(/401/);
    await stranger.look('door-used-link');
    for (const path of ['/', '/check', '/create', '/live/check', '/share']) {
        const answer = await stranger.context.request.get(origin + path);
        check(answer.status() === 401, `${path} is shown to nobody without a cookie: ${answer.status()}`);
    }
    await stranger.page.goto(`${origin}/check`);
    await stranger.page.getByText('Open the link that neon-migrate printed').waitFor();
    await watch.expectProblem(/401/);
    await stranger.look('door-no-cookie');

    // Another site that the owner visits sends a form, and then a script's request. The browser adds the cookie; the answer is no.
    await otherSite(async site => {
        await me.page.goto(`${site}/share`);
        await Promise.all([me.page.waitForNavigation(), me.page.evaluate(() => document.forms[0].submit())]);
        await me.page.getByText('The request came from another site').waitFor();
        await watch.expectProblem(/403/);
        await me.look('door-foreign-form');
        await me.page.goto(`${site}/share`);
        const read = await me.page.evaluate(async address => {
            try {
                return await (await fetch(address, { credentials: 'include' })).text();
            } catch {
                return 'refused';
            }
        }, `${origin}/check`);
        check(read === 'refused', 'another site cannot read the page');
        await watch.expectProblem(/CORS|ERR_FAILED|ERR_BLOCKED_BY_RESPONSE/);
        await watch.expectProblem(/foreign request/);
        const framed = await me.page.evaluate(address => {
            const frame = document.createElement('iframe');
            frame.src = address;
            document.body.append(frame);
            return new Promise(resolve => { frame.onload = () => resolve(frame.contentDocument === null); });
        }, `${origin}/check`);
        check(framed, 'another site cannot frame the page');
        await watch.expectProblem(/X-Frame-Options|frame-ancestors/);
        await watch.expectProblem(/ERR_BLOCKED_BY_RESPONSE/);
    });

    // A name that somebody points to this machine.
    await me.page.goto(`http://elsewhere.test:${port}/check`);
    await me.page.getByText('This is not the address that the page is served at').waitFor();
    await watch.expectProblem(/403/);
    await watch.expectProblem(/foreign request/);
    // Nothing is served under that name, so this one page has no style; and to a name in the clear browsers grant less.
    await watch.expectProblem(/Refused to apply style/);
    await watch.expectProblem(/Cross-Origin-Opener-Policy/);
    const own = `${cookie.name}=${cookie.value}`;
    check(await raw('/check', { host: `127.0.0.1:${port}`, cookie: own }) === 200, 'with our own name it is let in');
    for (const host of ['elsewhere.test', `elsewhere.test:${port}`, '127.0.0.1', `127.0.0.1:${port}.elsewhere.test`, ' ']) {
        check(await raw('/check', { host, cookie: own }) === 403, `the host ${host} is refused`);
    }
    for (const from of ['null', 'http://elsewhere.test', `https://127.0.0.1:${port}`, `${origin}.elsewhere.test`, undefined]) {
        const headers = { host: `127.0.0.1:${port}`, cookie: own, ...(from ? { origin: from } : {}) };
        check(await raw('/share', headers, 'POST') === 403, `the origin ${from} is refused`);
    }

    // Forms without their token, or with that of another visitor.
    await me.page.goto(`${origin}/check`);
    const post = (page, token) => page.evaluate(async token => {
        const answer = await fetch('/create/target/forget', { method: 'POST', body: new URLSearchParams(token ? { csrf: token } : {}) });
        await answer.text();
        return answer.status;
    }, token);
    const token = page => page.locator('meta[name="csrf"]').getAttribute('content');
    check(await post(me.page, await token(me.page)) === 200, 'with its token it is obeyed');
    await me.page.getByText('Share', { exact: true }).click();
    await me.page.getByRole('button', { name: 'Make a link that can act' }).click();
    await me.look('share-owner');
    const other = await visitor();
    await other.enter(await me.page.locator('pre').textContent(), '/check');
    for (const [what, foreign] of [['none', ''], ['a guess', '0'.repeat(64)], ["another's", await token(me.page)]]) {
        check(await post(other.page, foreign) === 403, `with ${what} it is refused`);
        await watch.expectProblem(/403/);
    }
};

await story(tell, { flags: ['--host-resolver-rules=MAP elsewhere.test 127.0.0.1'] });
