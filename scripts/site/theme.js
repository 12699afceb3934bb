// VitePress' theme with the fonts of the reader's system, so that the site contains no font files.

export { default } from 'vitepress/theme-without-fonts';
