export { storyRoutes } from './routes.ts'
export { seedStories } from './seed.ts'
export { findStory, listPublished, type Story } from './queries.ts'
