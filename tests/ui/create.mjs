// Step 2 in a browser: the form is filled in, changed, agreed to, and carried out; then a database that exists.

import { check, cue, given, story, url } from './lib.mjs';

await story(async ({ visitor }) => {
    const me = await visitor();
    const { page } = me;
    await me.enter(url, '/create');
    await page.getByText('Filled in from the source').waitFor();
    await me.look('create-form');

    // What is typed survives what the stream brings, and a key that is wrong is explained.
    await page.getByLabel('Name', { exact: true }).fill('Shop in <Frankfurt>');
    await page.getByLabel('API key', { exact: true }).fill('napi_wrong');
    await page.getByRole('button', { name: 'Check the key' }).click();
    await page.getByText('Code neon-key-refused').waitFor();
    await me.look('create-wrong-key');
    await page.getByLabel('API key', { exact: true }).fill(given('KEY'));
    await page.getByRole('button', { name: 'Check the key' }).click();
    await page.getByText('Neon knows the API key').waitFor();
    check((await page.getByLabel('Name', { exact: true }).inputValue()) === 'Shop in <Frankfurt>', 'the name that was typed is kept');

    await page.getByLabel('Database', { exact: true }).fill('postgres');
    await page.getByLabel('Smallest compute').selectOption('8');
    await page.getByRole('button', { name: 'Review it' }).click();
    await page.getByText('Neon takes no database of that name').waitFor();
    await me.look('create-wrong-fields');
    await page.getByLabel('Database', { exact: true }).fill('shop');
    await page.getByLabel('Smallest compute').selectOption('0.25');
    await page.getByLabel('Region').selectOption('aws-eu-central-1');
    await page.getByRole('button', { name: 'Review it' }).click();
    await page.getByRole('heading', { name: 'This is what will be created' }).waitFor();
    await me.look('create-summary');

    await page.getByRole('button', { name: 'Create the project' }).click();
    await page.getByText('0 of 2 operations').first().waitFor();
    await me.look('create-progress');
    await cue('finish');
    await page.getByRole('heading', { name: /is ready$/ }).waitFor();
    await page.getByText('nothing stands in the way').waitFor();
    await me.look('create-ready');

    await page.getByRole('button', { name: 'Choose another target' }).click();
    await page.getByRole('link', { name: 'A database that exists' }).first().click();
    await me.look('create-existing');
    const field = page.getByLabel('Connection string of the target');
    await field.fill('postgresql://app:secret@host:nope/x');
    await page.getByRole('button', { name: 'Use this database' }).click();
    await page.locator('#target-error').waitFor();
    await me.look('create-existing-wrong');
    await field.fill(given('SAME'));
    await page.getByRole('button', { name: 'Use this database' }).click();
    await page.getByText('Code same-database').waitFor();
    await me.look('create-existing-same');
    await field.fill(given('OTHER'));
    await page.getByRole('button', { name: 'Use this database' }).click();
    await page.getByText('something stands in the way').waitFor();
    check((await field.inputValue()) === '', 'a string that was accepted is gone from the page');
    await me.look('create-existing-full');
});
