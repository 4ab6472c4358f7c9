// What the stories of the page share: a browser whose every word is heard, eyes for accessibility, and pictures.
//
// A story is `await story(async ({ visitor, given }) => { … })`. It fails by what it asserts, and at its end by anything that was wrong
// meanwhile: an error or a warning on the console, an uncaught exception, a request that failed or went elsewhere, a violation of the
// content security policy, a planted secret in anything that the browser was sent. What has to go wrong is taken back with `expectProblem`.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

const tools = createRequire(new URL('../../.cache/ui/', import.meta.url));
const { chromium } = tools('playwright-core');
const AXE = await readFile(tools.resolve('axe-core/axe.min.js'), 'utf8');

/** How long a single wait may take, in milliseconds. The story as a whole is limited by whoever runs it. */
const LIMIT = 20_000;
/** The narrowest and a usual window. */
const WIDTHS = [360, 1280];
const HEIGHT = 800;

/** The address of the page with its one-time token, as the program printed it. */
export const url = process.env.UI_URL;

/** A value that the test gave to its story. */
export function given(name) {
    const value = process.env[name];
    if (value === undefined) throw new Error(`the story was not given ${name}`);
    return value;
}

/** Has the test do something outside the browser, and waits until it is done; gives what the test answers. */
export async function cue(name) {
    const answer = await fetch(`${given('UI_CUES')}/${name}`);
    return answer.text();
}

/** Tells a story in a browser of its own; ends the process with 1 if it goes wrong. */
export async function story(tell, { at = url, secrets = JSON.parse(process.env.UI_SECRETS ?? '[]'), flags = [] } = {}) {
    try {
        const browser = await launch(flags);
        try {
            await inBrowser(browser, at, secrets, tell);
        } finally {
            await browser.close();
        }
    } catch (error) {
        console.error(error.stack ?? error);
        process.exitCode = 1;
    }
}

/** A browser; whoever launches it closes it. */
export function launch(flags = []) {
    return chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', ...flags] });
}

/** As `story`, in a browser that is there, for those who want the error. */
export async function inBrowser(browser, at, secrets, tell) {
    const watch = new Watch(new URL(at).origin, secrets);
    const visitors = [];
    const visitor = async (options = {}) => {
        visitors.push(await Visitor.come(browser, watch, options));
        return visitors.at(-1);
    };
    try {
        await tell({ visitor, watch });
        await watch.heard();
        for (const one of visitors) await one.leave();
        watch.judge();
    } catch (error) {
        for (const [place, one] of visitors.entries()) await one.picture(`failed-${place + 1}`).catch(() => {});
        const meanwhile = watch.problems.map(problem => `\n  ${problem}`).join('');
        throw new Error(`${error.stack}\nProblems meanwhile:${meanwhile || ' none'}`);
    } finally {
        for (const one of visitors) await one.context.close();
    }
}

/** Collects what is wrong, and everything that was received. */
class Watch {
    problems = [];
    received = [];
    #origin;
    #secrets;
    #reading = new Set();

    constructor(origin, secrets) {
        this.#origin = origin;
        this.#secrets = secrets;
    }

    /** Listens to everything that happens in a context. */
    async over(context) {
        context.on('console', message => {
            if (['error', 'warning'].includes(message.type())) this.problems.push(`console ${message.type()}: ${message.text()}`);
        });
        context.on('weberror', error => this.problems.push(`uncaught: ${error.error()}`));
        context.on('request', request => this.#asked(request.url()));
        context.on('requestfailed', request => this.#failed(request));
        context.on('response', response => this.#reads(this.#keep(response)));
        context.on('page', page => page.on('websocket', socket => this.#asked(socket.url())));
        await context.exposeBinding('policyWasViolated', (_, text) => this.problems.push(`content security policy: ${text}`));
        await context.addInitScript(() => {
            document.addEventListener('securitypolicyviolation', event => {
                window.policyWasViolated(`${event.effectiveDirective} forbids ${event.blockedURI} ${event.sample}`);
            });
        });
    }

    /** Listens to the streams and downloads of one page. */
    async overPage(context, page) {
        page.on('download', download => this.#reads(this.#keepDownload(download)));
        const protocol = await context.newCDPSession(page);
        await protocol.send('Network.enable');
        protocol.on('Network.eventSourceMessageReceived', event => {
            this.received.push({ from: `event ${event.eventName} ${event.eventId}`, text: event.data });
        });
    }

    /** Takes back the problems that match, and fails if there is none within the time for one wait. */
    async expectProblem(pattern) {
        await until(`a problem ${pattern}`, () => this.problems.some(problem => pattern.test(problem)));
        this.excuse(pattern);
    }

    /** Takes back the problems that match, if there are any: of what may happen or not. */
    excuse(pattern) {
        this.problems = this.problems.filter(problem => !pattern.test(problem));
    }

    /** Waits until all that came in was read. */
    async heard() {
        while (this.#reading.size > 0) await Promise.all(this.#reading);
    }

    /** Fails if anything was wrong. */
    judge() {
        for (const secret of this.#secrets) {
            const places = this.received.filter(part => part.text.includes(secret)).map(part => part.from);
            if (places.length > 0) this.problems.push(`the planted ${secret} was sent in ${[...new Set(places)].join(', ')}`);
        }
        if (this.problems.length > 0) throw new Error('something was wrong on the way');
    }

    #asked(address) {
        const { protocol, origin, host } = new URL(address);
        if (['data:', 'blob:', 'about:'].includes(protocol)) return;
        const isOwn = origin === this.#origin || host === new URL(this.#origin).host;
        if (!isOwn) this.problems.push(`foreign request: ${address}`);
    }

    #failed(request) {
        const why = request.failure()?.errorText ?? '';
        // A page that is left ends what it was loading; what becomes a download, or is answered with nothing, ends a navigation.
        if (why !== 'net::ERR_ABORTED') this.problems.push(`failed request: ${request.method()} ${request.url()} ${why}`);
    }

    #reads(reading) {
        this.#reading.add(reading);
        reading.finally(() => this.#reading.delete(reading)).catch(() => {});
    }

    async #keep(response) {
        const from = `${response.request().method()} ${response.url()}`;
        const headers = Object.entries(await response.allHeaders().catch(() => response.headers()));
        this.received.push({ from: `headers of ${from}`, text: headers.map(pair => pair.join(': ')).join('\n') });
        const kind = response.headers()['content-type'] ?? '';
        const isElsewhere = kind.startsWith('text/event-stream') || 'content-disposition' in response.headers();
        const hasNone = response.status() === 204 || response.status() === 304 || (response.status() >= 300 && response.status() < 400);
        if (isElsewhere || hasNone) return;
        // A page that is left while it loads takes its body with it.
        const body = await inTime(response.body()).catch(() => null);
        if (body === 'late') return void this.problems.push(`the body of ${from} was not received`);
        if (body === null) return;
        this.received.push({ from, text: body.toString('latin1') });
    }

    async #keepDownload(download) {
        const place = await download.path().catch(error => this.problems.push(`a download was not received: ${error}`) && null);
        if (place) this.received.push({ from: `download ${download.url()}`, text: await readFile(place, 'latin1') });
    }
}

/** Somebody before a browser: their cookies, and one page. */
class Visitor {
    #context;
    #watch;

    static async come(browser, watch, options) {
        const visitor = new Visitor();
        visitor.#watch = watch;
        visitor.#context = await browser.newContext({ viewport: { width: WIDTHS[1], height: HEIGHT }, ignoreHTTPSErrors: true, ...options });
        visitor.#context.setDefaultTimeout(LIMIT);
        await watch.over(visitor.#context);
        visitor.page = await visitor.#context.newPage();
        await watch.overPage(visitor.#context, visitor.page);
        return visitor;
    }

    /** Opens the link that lets in, and then a path. */
    async enter(link, at = '/') {
        await this.page.goto(link);
        await this.page.waitForURL(address => address.pathname !== '/open');
        await this.page.goto(new URL(at, link).href);
    }

    /** Another page with the same cookies. */
    async newPage() {
        const page = await this.#context.newPage();
        await this.#watch.overPage(this.#context, page);
        return page;
    }

    /** The context, for cookies and requests beside the page. */
    get context() {
        return this.#context;
    }

    /** Keeps what the page has become, and closes it. */
    async leave() {
        for (const page of this.#context.pages()) {
            this.#watch.received.push({ from: `the document at ${page.url()}`, text: await page.content().catch(() => '') });
        }
        await this.#context.close();
    }

    /** Looks at the page in each theme and width: axe finds nothing serious, nothing is wider than the window; a picture of it is kept. */
    async look(name) {
        this.#watch.received.push({ from: `the document at ${name}`, text: await this.page.content() });
        await this.#each(async (width, scheme) => {
            await fits(this.page, `${name} at ${width} px`);
            await axe(this.page, `${name}, ${scheme}, ${width} px`);
            await this.#shoot(`${name}-${width}-${scheme}`);
        });
    }

    /** Pictures only; where scripts are off, axe cannot work. */
    async picture(name) {
        if (process.env.NEON_MIGRATE_SHOTS) await this.#each((width, scheme) => this.#shoot(`${name}-${width}-${scheme}`));
    }

    async #each(at) {
        const before = this.page.viewportSize();
        for (const colorScheme of ['light', 'dark']) {
            await this.page.emulateMedia({ colorScheme });
            for (const width of WIDTHS) {
                await this.page.setViewportSize({ width, height: HEIGHT });
                await at(width, colorScheme);
            }
        }
        await this.page.emulateMedia({ colorScheme: null });
        await this.page.setViewportSize(before);
    }

    async #shoot(name) {
        const folder = process.env.NEON_MIGRATE_SHOTS;
        if (!folder) return;
        await mkdir(folder, { recursive: true });
        await this.page.evaluate(() => window.scrollTo(0, 0));
        const picture = await this.page.screenshot({ fullPage: true, animations: 'disabled' });
        await writeFile(path.join(folder, `${name}.png`), picture);
    }
}

/** Fails if the page has to be moved sideways to be read. */
export async function fits(page, where) {
    const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    if (needs > has) throw new Error(`${where}: the page is ${needs} px wide in a window of ${has} px: ${await widest(page, has)}`);
}

function widest(page, limit) {
    return page.evaluate(limit => {
        const wide = [...document.body.querySelectorAll('*')].filter(one => one.getBoundingClientRect().left + Math.max(one.offsetWidth, one.scrollWidth) > limit + 1);
        return wide.slice(-3).map(one => one.outerHTML.slice(0, 160)).join(' | ');
    }, limit);
}

/** Fails if axe finds something serious or critical. */
export async function axe(page, where) {
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => window.axe.run(document, { preload: false, resultTypes: ['violations'] }));
    const bad = violations.filter(one => ['serious', 'critical'].includes(one.impact));
    const lines = bad.flatMap(one => one.nodes.map(node => `\n  ${one.id} (${one.impact}): ${one.help}: ${node.html.slice(0, 300)}\n    ${node.failureSummary}`));
    if (lines.length > 0) throw new Error(`${where}: axe finds${lines.join('')}`);
}

/**
 * Begins to measure how smooth a page is; gives a function that ends that, and tells the longest time in milliseconds for which one task kept the page from
 * drawing a frame. It is the processor's time: on a machine that is busy otherwise, the clock would blame the page for its neighbours.
 */
export async function frames(page) {
    const browser = page.context().browser();
    await browser.startTracing(page, { categories: ['toplevel'] });
    return async () => {
        const { traceEvents } = JSON.parse(await browser.stopTracing());
        const isMain = event => event.name === 'thread_name' && event.args.name === 'CrRendererMain';
        const mains = new Set(traceEvents.filter(isMain).map(event => `${event.pid} ${event.tid}`));
        const tasks = traceEvents.filter(event => event.tdur !== undefined && mains.has(`${event.pid} ${event.tid}`));
        if (tasks.length === 0) throw new Error('nothing was measured');
        return tasks.reduce((longest, task) => Math.max(longest, task.tdur), 0) / 1000;
    };
}

/** Asks until it is so. */
export async function until(what, ask, limit = LIMIT) {
    const started = Date.now();
    for (;;) {
        const answer = await ask();
        if (answer) return answer;
        if (Date.now() - started > limit) throw new Error(`waited ${limit} ms in vain: ${what}`);
        await new Promise(resolve => setTimeout(resolve, 20));
    }
}

/** What is promised; `late` if that takes too long. */
function inTime(promised, limit = 5_000) {
    let timer;
    const late = new Promise(resolve => { timer = setTimeout(resolve, limit, 'late'); });
    return Promise.race([promised, late]).finally(() => clearTimeout(timer));
}

/** Fails unless it is so. */
export function check(is, what) {
    if (!is) throw new Error(`it is not so: ${what}`);
}
