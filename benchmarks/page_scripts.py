"""What is measured inside the page."""

from __future__ import annotations

FIRST = """(selector) => new Promise((done) => {
    const look = () => document.querySelector(selector) ? done(performance.now()) : requestAnimationFrame(look);
    look();
})"""
TIMELINE = """(told) => new Promise((done) => {
    const look = () => document.querySelector('.gantt canvas')?.ariaLabel?.includes(told)
        ? done(performance.now()) : requestAnimationFrame(look);
    look();
})"""
SCROLL = """([selector, frames]) => new Promise((done) => {
    const list = document.querySelector(selector);
    const times = [];
    let before = performance.now();
    const step = (now) => {
        times.push(now - before);
        before = now;
        list.scrollTop += 300;
        if (times.length <= frames) requestAnimationFrame(step);
        else done(times.slice(1));
    };
    requestAnimationFrame(step);
})"""
SLIDE = """(version) => new Promise((done) => {
    const slider = document.querySelector('.player-slider');
    const begin = performance.now();
    slider.value = version;
    slider.dispatchEvent(new Event('input', {bubbles: true}));
    const look = () => {
        const shown = document.querySelector('.fields').textContent.includes(`row ${version}`)
            && document.querySelector('[aria-current="true"] b');
        if (shown) done(performance.now() - begin);
        else requestAnimationFrame(look);
    };
    look();
})"""
SEARCH = """(text) => new Promise((done) => {
    const field = document.querySelector('[type=search]');
    const begin = performance.now();
    field.value = text;
    field.dispatchEvent(new Event('input', {bubbles: true}));
    const look = () => {
        const row = document.querySelector('[data-job]');
        if (row?.dataset.job.startsWith(text)) done(performance.now() - begin - 180);
        else requestAnimationFrame(look);
    };
    look();
})"""
PAN = """(frames) => new Promise((done) => {
    const canvas = document.querySelector('.lane-chart canvas');
    const box = canvas.getBoundingClientRect();
    const send = (kind, x) => canvas.dispatchEvent(new PointerEvent(kind, {
        bubbles: true, pointerId: 1, clientX: box.left + x, clientY: box.top + 100}));
    canvas.setPointerCapture = () => {};
    send('pointerdown', 400);
    const times = [];
    let before = performance.now();
    const step = (now) => {
        times.push(now - before);
        before = now;
        send('pointermove', 400 + 150 * Math.sin(times.length / 12));
        if (times.length <= frames) requestAnimationFrame(step);
        else done(times.slice(1));
    };
    requestAnimationFrame(step);
})"""
